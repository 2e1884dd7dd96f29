"""Webhooks to EHR systems: subscriptions, events and their deliveries."""
