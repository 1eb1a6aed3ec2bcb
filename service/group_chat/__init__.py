"""Group chat with AI members (docs/protocol.md, docs/group-chat.md).

``turns.py`` handles a message from its request to the last answer. ``personas.py`` has the members of each room.
``queue.py`` and its two implementations (``local_queue.py``, ``bullmq_queue.py``) bring jobs to workers;
``responder.py`` answers a job, by script or by ``model.py``. ``experience.py`` stores what users earn, ``frames.py`` has
the frames of a turn's stream.
"""
