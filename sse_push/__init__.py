"""sse-push: an event-emitter based async microservice that pushes server-sent events to users.

The one package that is installed. Its parts are the folders at the top of the repository, here as links:
``cli`` and ``handlers`` call ``service``, ``service`` calls ``events``.
"""
