/** Separates the messages of an echo. JSON text cannot hold it: it is a control character. */
export const echoSeparator = '\u001e'
