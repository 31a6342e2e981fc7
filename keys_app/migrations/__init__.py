"""Database migrations of keys_app."""
