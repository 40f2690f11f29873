"""RabbitMQ: the topology as data, and the only room that imports its driver."""
