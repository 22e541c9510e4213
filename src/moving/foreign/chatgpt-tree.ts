/** A node of a conversation's tree as the export has it. */
interface TreeNode {
  readonly message?: unknown
  readonly parent?: string | null | undefined
  readonly children?: readonly string[] | null | undefined
}

/**
 * The tree of a conversation, however it is told: by parents, by children or by both. Every node is visited once, so a
 * damaged tree has an end too.
 */
export class Tree {
  readonly #nodes: ReadonlyMap<string, TreeNode>
  readonly #children = new Map<string, Set<string>>()
  readonly #parents = new Map<string, string>()
  readonly #unseen: Set<string>
  /** Where it begins. */
  readonly roots: readonly string[]

  constructor(mapping: Readonly<Record<string, TreeNode>>) {
    this.#nodes = new Map(Object.entries(mapping))
    this.#unseen = new Set(this.#nodes.keys())
    for (const [id, { parent, children }] of this.#nodes) {
      for (const child of children ?? []) this.#link(id, child)
      if (typeof parent === 'string') this.#link(parent, id)
    }
    this.roots = [...this.#nodes.keys()].filter(id => this.parentOf(id) === undefined)
  }

  messageOf(id: string): unknown {
    return this.#nodes.get(id)?.message
  }

  parentOf(id: string): string | undefined {
    return this.#parents.get(id)
  }

  /** Marks a node as seen; its children that are not, the oldest first. */
  visit(id: string): string[] {
    this.#unseen.delete(id)
    return [...(this.#children.get(id) ?? [])].filter(child => this.#unseen.has(child))
  }

  /** Any node that was not visited yet. */
  unseen(): string | undefined {
    const [first] = this.#unseen
    return first
  }

  /** The first parent of a node is its parent. */
  #link(parent: string, child: string): void {
    if (
      !this.#nodes.has(parent) ||
      !this.#nodes.has(child) ||
      (this.#parents.get(child) ?? parent) !== parent
    )
      return
    this.#parents.set(child, parent)
    const children = this.#children.get(parent) ?? new Set()
    this.#children.set(parent, children.add(child))
  }
}
