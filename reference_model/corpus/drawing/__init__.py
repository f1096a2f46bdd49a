"""The mesh renderer of the made people, on the CPU and on CUDA, with camera and light."""
