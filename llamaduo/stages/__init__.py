"""The stages of a migration, one a file; each binds its inputs and says what identifies them."""
