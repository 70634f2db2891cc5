"""Others are told of events by HTTP: signed, queued in Redis, and sent again until they are taken."""
