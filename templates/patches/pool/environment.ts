{% set others = NAMES | reject("equalto", "DATABASE_URL") | list %}
{% if others %}
const { {{ others | join(", ") }} } = process.env;
{% endif %}
