//! Compares two versions of the contracts by numbers and types. Names of messages, fields and values may differ, as they
//! do not occur on the wire; names of services and calls do.

use super::{BTreeSet, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// Differences by which a program of the earlier contract would not work with one of the later contract.
pub(super) fn differences(earlier: &DescriptorPool, later: &DescriptorPool) -> Vec<String> {
    let mut comparison = Comparison::default();
    for service in earlier.services().filter(|service| is_ours(service.full_name())) {
        let same = later.get_service_by_name(service.full_name());
        for method in service.methods() {
            let mut methods = same.iter().flat_map(|service| service.methods());
            let name = method.full_name();
            let Some(same) = methods.find(|same| same.name() == method.name()) else {
                comparison.report(name, "is missing");
                continue;
            };
            let streams = |method: &prost_reflect::MethodDescriptor| {
                (method.is_client_streaming(), method.is_server_streaming())
            };
            comparison.check(name, "streams", streams(&method) == streams(&same));
            comparison.message(&method.input(), &same.input());
            comparison.message(&method.output(), &same.output());
        }
    }
    comparison.found
}

fn is_ours(name: &str) -> bool {
    name.starts_with("minerva.")
}

#[derive(Default)]
struct Comparison {
    /// Pairs of messages that were compared already.
    compared: BTreeSet<(String, String)>,
    found: Vec<String>,
}

impl Comparison {
    fn report(&mut self, name: &str, problem: &str) {
        self.found.push(format!("{name} {problem}"));
    }

    fn check(&mut self, name: &str, property: &str, is_same: bool) {
        if !is_same {
            self.report(name, &format!("has other {property}"));
        }
    }

    fn message(&mut self, earlier: &MessageDescriptor, later: &MessageDescriptor) {
        let pair = (earlier.full_name().to_owned(), later.full_name().to_owned());
        if !self.compared.insert(pair) {
            return;
        }
        for field in earlier.fields() {
            match later.get_field(field.number()) {
                Some(same) => self.field(&field, &same),
                None => self.report(field.full_name(), "is missing"),
            }
        }
    }

    fn field(&mut self, earlier: &FieldDescriptor, later: &FieldDescriptor) {
        let name = earlier.full_name();
        self.check(name, "cardinality", earlier.cardinality() == later.cardinality());
        self.check(name, "presence", earlier.supports_presence() == later.supports_presence());
        // The other members of a oneof share its numbers.
        let oneof = |field: &FieldDescriptor| {
            let oneof = field.containing_oneof()?;
            oneof.fields().map(|field| field.number()).min()
        };
        self.check(name, "oneof", oneof(earlier) == oneof(later));
        match (earlier.kind(), later.kind()) {
            (Kind::Message(earlier), Kind::Message(later)) => self.message(&earlier, &later),
            (Kind::Enum(earlier), Kind::Enum(later)) => self.values(&earlier, &later),
            (earlier, later) => self.check(name, "type", earlier == later),
        }
    }

    fn values(&mut self, earlier: &EnumDescriptor, later: &EnumDescriptor) {
        for value in earlier.values() {
            if later.get_value(value.number()).is_none() {
                self.report(value.full_name(), "is missing");
            }
        }
    }
}

/// A change of the descriptors, and the reported difference.
#[cfg(test)]
mod tests {
    use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

    use super::*;

    fn changed(change: impl FnOnce(&mut FileDescriptorSet)) -> Vec<String> {
        let present = super::super::of_this_build();
        let mut files = FileDescriptorSet { file: Vec::new() };
        files.file.extend(present.file_descriptor_protos().cloned());
        change(&mut files);
        differences(&present, &DescriptorPool::from_file_descriptor_set(files).unwrap())
    }

    fn message<'a>(files: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
        let mut messages = files.file.iter_mut().flat_map(|file| &mut file.message_type);
        messages.find(|message| message.name() == name).unwrap()
    }

    fn field<'a>(
        files: &'a mut FileDescriptorSet,
        of: &str,
        number: i32,
    ) -> &'a mut FieldDescriptorProto {
        let fields = &mut message(files, of).field;
        fields.iter_mut().find(|field| field.number == Some(number)).unwrap()
    }

    #[test]
    fn additions_and_other_names_are_no_difference() {
        let added = changed(|files| {
            let mut new = field(files, "Taken", 2).clone();
            (new.name, new.json_name, new.number) = (Some("new".to_owned()), None, Some(99));
            message(files, "Taken").field.push(new);
            field(files, "Grant", 2).name = Some("credit".to_owned());
        });
        assert_eq!(added, [""; 0]);
    }

    #[test]
    fn changed_and_missing_fields_are_reported() {
        let number = changed(|files| field(files, "Taken", 2).number = Some(7));
        assert_eq!(number, ["minerva.link.v1.Taken.batch is missing"]);
        let string = prost_reflect::prost_types::field_descriptor_proto::Type::String;
        let kind = changed(|files| field(files, "Taken", 2).set_type(string));
        assert_eq!(kind, ["minerva.link.v1.Taken.batch has other type"]);
        let repeated = prost_reflect::prost_types::field_descriptor_proto::Label::Repeated;
        let label = changed(|files| field(files, "CoreHello", 2).set_label(repeated));
        assert!(label.contains(&"minerva.link.v1.CoreHello.core_id has other cardinality".into()));
        let oneof = changed(|files| field(files, "Close", 7).oneof_index = None);
        assert!(oneof.contains(&"minerva.link.v1.Close.moved has other oneof".into()), "{oneof:?}");
    }

    #[test]
    fn a_missing_value_or_call_is_reported() {
        let value = changed(|files| {
            let enums = files.file.iter_mut().flat_map(|file| &mut file.enum_type);
            enums.for_each(|of| {
                of.value.retain(|value| value.name() != "KILL_REASON_RWIN_OVERFLOW");
            });
        });
        let missing = "minerva.link.v1.KILL_REASON_RWIN_OVERFLOW is missing";
        // In End and in Close.
        assert_eq!(value, [missing, missing]);
        let call = changed(|files| {
            let services = files.file.iter_mut().flat_map(|file| &mut file.service);
            services.for_each(|service| service.method.retain(|method| method.name() != "Relay"));
        });
        assert_eq!(call, ["minerva.link.v1.LinkService.Relay is missing"]);
    }
}
