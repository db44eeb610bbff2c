"""The tasks of models: one `Model` subclass for each `task` of model.yaml."""
