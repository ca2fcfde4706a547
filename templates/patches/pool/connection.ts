{% include "patches/pool/_connection.ts" %}
