"""Setting a Prefect server up for EvolveSearch: pools, deployments, the automation, workers.

`manifest` reads `prefect.yaml`, the one source of all deployments, `pools` and `templates` make
work pools, `registration` registers deployments, `automations` ends zombies, and `installation`
does all of it in order, each step telling what it changed. `server` and `workers` start Prefect's
own processes with the settings that were found to matter. `profile_definitions` writes the
profiles' configurations into `prefect.yaml`.
"""
