/** Users whom Stele itself names: nobody may register as one of them. */

/** Whose keys may do everything: the owner of the first key, and of `STELE_API_KEY`. */
export const adminUser = 'admin'

/** Whoever chats by the key of a service without saying who it is. */
export const anybody = 'default'
