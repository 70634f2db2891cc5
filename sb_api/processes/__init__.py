"""How a process is started, looped, parked, watched and stopped."""
