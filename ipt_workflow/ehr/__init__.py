"""EHR integration: webhooks we send, notices we receive, and how senders are authenticated."""
