"""Transactions: what their coordinator and their recovery do next, and what the ledger says of them (pure)."""
