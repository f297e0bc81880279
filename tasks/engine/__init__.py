"""Two ways to run the steps: as Prefect task runs, or in threads without a Prefect server."""
