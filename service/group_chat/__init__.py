"""Group chat with AI members (G3, contract section 8).

``turns.py`` is the way of one message, ``personas.py`` who sits in which room, ``queue.py`` and its two kinds
(``local.py``, ``bull.py``) bring jobs to workers, ``answers.py`` is what a worker does, by a script or by ``model.py``;
``experience.py`` is what users earn, ``frames.py`` what goes over the wire. docs/group-chat.md is for those who use it.
"""
