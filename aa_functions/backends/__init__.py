"""Run an Ultralytics checkpoint with torch, OpenVINO or ONNX Runtime."""
