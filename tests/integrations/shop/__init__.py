"""A Django project of one application, whose orders and jobs are made together."""
