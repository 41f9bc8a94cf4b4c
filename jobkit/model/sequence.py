"""The sequences of a key's jobs: 1, 2, 3 and so on, as far as every store can count."""

MAX_SEQUENCE = 2**63 - 1
