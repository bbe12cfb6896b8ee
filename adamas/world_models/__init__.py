"""World models: learned environments behind the ``WorldModel`` protocol."""
