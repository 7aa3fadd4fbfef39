"""Fixtures for tests of other projects: a shop, cards, a phone and a reader."""
