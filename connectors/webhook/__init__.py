"""Any receiver that speaks Standard Webhooks 1.0.0: one signed request a record."""
