"""What tests of several tiers share: where their infrastructure comes from."""
