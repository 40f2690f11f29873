"""What the duties have in common: vocabulary, contracts and the adapters to their servers."""
