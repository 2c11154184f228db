"""Webhooks: mail that the web worker that leads posts to the addresses that members have given."""
