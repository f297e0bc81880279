"""The order of the steps: annotate one CVAT task, annotate new ones, the command line."""
