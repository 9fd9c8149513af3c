"""TensorBoard, W&B and MLflow: told what log.jsonl and history.csv hold, in a thread of their own."""
