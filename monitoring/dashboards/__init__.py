"""Grafana's dashboards as code: `make generate` writes them as JSON; nothing that serves imports this."""
