"""Entry point of `python -m agewell.workers.monitoring.dashboard`."""

if __name__ == "__main__":  # the process for thumbnails imports this file too, by another name
    from agewell.workers.monitoring.dashboard.server import main

    main()
