"""How fast the machine is, beside what people would use instead: `make bench`. See docs/performance.md.

One module a row. Each gives `measure(scale)`: it runs this project, its peers and its reference in turn, round after
round, and returns lines of the table. Nothing here is used by the product, and nothing of a peer is imported by it.
"""
