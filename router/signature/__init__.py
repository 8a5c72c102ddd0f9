"""Who has signed a request: AWS Signature Version 4, header form (pure)."""
