"""The service: configuration, procedures, pipeline, alerts, journal, web, command line."""

__version__ = "0.1.0"
