"""What moderators said and what became of it: the verdict log, its tables, histories, and the audit log."""
