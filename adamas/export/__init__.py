"""An agent for other programs than this one: as ONNX models, and as a web page that dreams by itself."""
