//! Generates the gRPC types with protox, so that no protoc is needed; does nothing without `grpc`.

#[cfg(feature = "grpc")]
use protox::prost_reflect::prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=minerva");
    #[cfg(feature = "grpc")]
    generate()?;
    Ok(())
}

#[cfg(feature = "grpc")]
fn generate() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["minerva/link/v1/link.proto", "minerva/app/v1/app.proto", "minerva/app/v1/streams.proto"];
    let mut descriptors = protox::Compiler::new(["."])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(files)?
        .file_descriptor_set();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    keep_text_as_bytes(&mut descriptors);
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

/// Changes `Message.text` to bytes, which have the same encoding: a slice of the receive buffer instead of a copy. The core
/// checks that text is UTF-8, so that invalid text harms one stream; a `String` would fail the whole request.
#[cfg(feature = "grpc")]
fn keep_text_as_bytes(descriptors: &mut FileDescriptorSet) {
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    let contents = messages.filter(|message| message.name() == "Message");
    let fields = contents.flat_map(|message| &mut message.field);
    for text in fields.filter(|field| field.name() == "text") {
        text.set_type(Type::Bytes);
    }
}
