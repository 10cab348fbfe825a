//! Calls over TLS.

use std::path::Path;
use std::time::Duration;

use minerva_app::{Service, StartError, Streams, Tls};
use minerva_runtime::tls::Port;

use crate::authority::{Authority, terminate_tls};
use crate::fake_core::FakeCore;

/// The options of an application with a certificate of `own` that trusts `trusted`.
fn app(own: &Authority, trusted: &Authority) -> Tls {
    let (certificate, key) = own.make("minerva:app:default").identity.unwrap();
    Tls::ca(trusted.path().join("ca.pem")).certificate(certificate, key)
}

/// Terminates TLS in front of a scripted core, as a core does on its API port.
async fn serve(authority: &Authority, core: &FakeCore) -> String {
    let core = core.address.parse().unwrap();
    terminate_tls(authority.make("minerva:core"), Port::Api, core).await.to_string()
}

#[tokio::test]
async fn a_service_registers_over_tls() {
    let (authority, mut core) = (Authority::new(), FakeCore::start().await);
    let address = serve(&authority, &core).await;
    let start = tokio::spawn(Service::connect(address).tls(app(&authority, &authority)).start());
    let (call, _) = core.registered().await;
    let mut service = start.await.unwrap().unwrap();
    call.start(1).await;
    assert!(service.accept().await.is_some());
}

#[tokio::test]
async fn neither_plain_text_nor_a_certificate_of_another_ca_reaches_the_core() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let mut core = FakeCore::start().await;
    let address = serve(&authority, &core).await;
    let stranger = app(&foreign, &authority);
    let refused = Service::connect(address.as_str()).start().await.unwrap_err().to_string();
    assert!(
        refused.contains("the peer needs TLS") && refused.contains("MINERVA_MTLS_CA"),
        "{refused}"
    );
    let strangers = tokio::spawn(Service::connect(address.as_str()).tls(stranger).start());
    let trusting_another = Service::connect(address.as_str()).tls(app(&foreign, &foreign)).start();
    let trusting_another = tokio::spawn(trusting_another);
    core.not_called().await;
    for start in [strangers, trusting_another] {
        assert!(!start.is_finished(), "the start waits for a core");
        start.abort();
    }
}

#[tokio::test]
async fn unusable_files_are_named_at_the_start() {
    let (authority, core) = (Authority::new(), FakeCore::start().await);
    let missing = Tls::ca(Path::new("/nowhere/ca.pem"));
    let error = Service::connect(&core.address).tls(missing.clone()).start().await.unwrap_err();
    let StartError::Tls { problem } = &error else { panic!("{error}") };
    assert!(problem.contains("/nowhere/ca.pem") && problem.contains("fix: "), "{problem}");
    assert!(Streams::at(&core.address).unwrap().tls(missing).is_err());

    let streams = Streams::at(serve(&authority, &core).await).unwrap();
    let streams = streams.tls(app(&authority, &authority)).unwrap().timeout(Duration::from_secs(1));
    let shown = format!("{streams:?}");
    assert!(shown.contains("Certificates(..)") && !shown.contains("PRIVATE"), "{shown}");
}
