"""One page, which asks the database."""

import django
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


def page(request: HttpRequest) -> JsonResponse:
    kinds = ContentType.objects.count()
    return JsonResponse({"django": django.get_version(), "kinds": kinds, "secure": request.is_secure()})


urlpatterns = [path("healthz", health), path("", page)]
