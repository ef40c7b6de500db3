// Pickers offer what is of the tenant that the form is for. Django's autocomplete sends the field
// alone, so the tenant is added to each of its requests; the server narrows by it.
"use strict";
{
  const $ = django.jQuery;

  const tenant = () => {
    const field = document.querySelector("select#id_tenant");
    const stored = document.querySelector("select[data-tenant]");
    return field ? field.value : stored ? stored.dataset.tenant : "";
  };

  $.ajaxPrefilter((options) => {
    if (!options.url.endsWith("/autocomplete/") || !tenant()) return;
    const more = `tenant=${encodeURIComponent(tenant())}`;
    options.data = options.data ? `${options.data}&${more}` : more;
  });

  // What was picked of another tenant is no choice any more.
  $(document).on("change", "#id_tenant", () => {
    $("select.admin-autocomplete").not("#id_tenant").val(null).trigger("change");
  });
}
