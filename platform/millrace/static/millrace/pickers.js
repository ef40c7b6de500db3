// Pickers offer only objects of the form's tenant. Django's autocomplete requests name only the
// field, so this adds the tenant to each request, and the server filters by it.
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

  // Clear the other pickers when the tenant changes: their values belong to the previous tenant.
  $(document).on("change", "#id_tenant", () => {
    $("select.admin-autocomplete").not("#id_tenant").val(null).trigger("change");
  });
}
