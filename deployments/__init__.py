"""How people run the system: command line, profiles and Prefect deployments."""
