"""World models: learned environments that implement the ``WorldModel`` protocol."""
