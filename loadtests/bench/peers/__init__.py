"""What the service is compared with: small servers that answer POST /predict with the same model."""
