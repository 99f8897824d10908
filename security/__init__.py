"""What `make audit` and `make sbom` run, and the proxy's configuration of docs/security.md."""
