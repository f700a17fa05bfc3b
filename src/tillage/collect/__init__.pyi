from .files import Files as Files
from .files import files as files
from .files import read_file as read_file
from .kafka import Kafka as Kafka
from .kafka import kafka as kafka
from .mqtt import Mqtt as Mqtt
from .mqtt import mqtt as mqtt
from .predictions import Predictions as Predictions
from .predictions import predictions as predictions
from .sql import Sql as Sql
from .sql import sql as sql
from .web import Web as Web
from .web import web as web

__all__: list[str]
