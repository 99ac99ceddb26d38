"""Model packs: what they are, where they come from, and the store that holds them."""
