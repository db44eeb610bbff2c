"""`python -m workers.dashboard`."""

if __name__ == "__main__":  # the process for thumbnails imports this file, too, by another name
    from workers.dashboard.server import main

    main()
