"""Code that producers and workers share: settings, errors, messages, queues and blobs."""
