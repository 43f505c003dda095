"""Braze: recommendations become custom attributes, by POST /users/track."""
