"""nginx, systemd and the installer, run for real. Everything here is marked slow."""
