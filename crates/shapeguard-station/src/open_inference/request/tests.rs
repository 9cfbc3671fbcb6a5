use super::*;
use serde_json::{Value, json};

const MAX_PIXELS: usize = 1000;
const SIZE: GridSize = GridSize::new(2, 3);

/// Coordinates with digits that not every way of writing keeps, and a point that there is not.
fn xyz() -> Vec<f32> {
    let mut values: Vec<f32> = (1..=18).map(|i| 0.1 * i as f32 + f32::EPSILON).collect();
    values[4] = f32::NAN;
    values
}

fn rgb() -> Vec<u8> {
    (0..18).map(|i| 255 - i).collect()
}

/// Where a tensor's values stand.
#[derive(Clone, Copy, Debug)]
enum Way {
    Flat,
    Nested,
    Binary,
}

const WAYS: [Way; 3] = [Way::Flat, Way::Nested, Way::Binary];

/// A list of values as a tensor of a request; what is binary goes to the end of `binary`.
fn tensor(name: &str, way: Way, values: Value, bytes: &[u8], binary: &mut Vec<u8>) -> Value {
    let datatype = if name == "xyz" { "FP32" } else { "UINT8" };
    let mut tensor = json!({"name": name, "shape": [SIZE.rows, SIZE.cols, CHANNELS], "datatype": datatype});
    match way {
        Way::Flat => tensor["data"] = values,
        Way::Nested => {
            let pixels: Vec<Value> = values.as_array().unwrap().chunks(CHANNELS).map(Value::from).collect();
            tensor["data"] = pixels.chunks(SIZE.cols).map(Value::from).collect();
        }
        Way::Binary => {
            tensor["parameters"] = json!({"binary_data_size": bytes.len()});
            binary.extend(bytes);
        }
    }
    tensor
}

/// The JSON of a request, and the binary data behind it.
fn request(xyz_way: Way, rgb_way: Way) -> (Value, Vec<u8>) {
    let mut binary = Vec::new();
    let bytes: Vec<u8> = xyz().iter().flat_map(|value| value.to_le_bytes()).collect();
    // NaN becomes null on the way.
    let inputs = [
        tensor("xyz", xyz_way, json!(xyz()), &bytes, &mut binary),
        tensor("rgb", rgb_way, json!(rgb()), &rgb(), &mut binary),
    ];
    (json!({"inputs": inputs}), binary)
}

fn read((json, binary): &(Value, Vec<u8>)) -> Result<InferRequest, String> {
    let mut body = json.to_string().into_bytes();
    let length = body.len().to_string();
    body.extend(binary);
    let length = (!binary.is_empty()).then_some(length.as_str());
    decode(&body, length, MAX_PIXELS).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(request: &(Value, Vec<u8>), told: &str) {
    let error = read(request).unwrap_err();
    assert!(error.contains(told), "expected {told:?} in {error:?}");
}

#[test]
fn every_way_of_writing_gives_the_same_scan_to_the_bit() {
    for xyz_way in WAYS {
        for rgb_way in WAYS {
            let found = read(&request(xyz_way, rgb_way)).unwrap();
            assert_eq!((found.xyz.size(), found.rgb.size()), (SIZE, SIZE), "{xyz_way:?} {rgb_way:?}");
            assert_eq!(found.rgb.as_slice().as_flattened(), rgb(), "{xyz_way:?} {rgb_way:?}");
            for (found, sent) in found.xyz.as_slice().as_flattened().iter().zip(xyz()) {
                assert!(found.to_bits() == sent.to_bits() || (found.is_nan() && sent.is_nan()), "{found} {sent}");
            }
        }
    }
}

#[test]
fn rgb_may_come_first() {
    let (mut json, _) = request(Way::Binary, Way::Binary);
    json["inputs"].as_array_mut().unwrap().reverse();
    let binary: Vec<u8> = rgb().into_iter().chain(xyz().iter().flat_map(|value| value.to_le_bytes())).collect();
    assert_eq!(read(&(json, binary)).unwrap().rgb.as_slice().as_flattened(), rgb());
}

#[test]
fn outputs_are_those_that_are_named_each_as_it_is_asked_for() {
    let (mut json, binary) = request(Way::Flat, Way::Flat);
    let wanted = |json: &Value| {
        let request = read(&(json.clone(), binary.clone())).unwrap();
        request.outputs.iter().map(|wanted| (wanted.output, wanted.is_binary)).collect::<Vec<_>>()
    };
    assert_eq!(wanted(&json), Output::ALL.map(|output| (output, false)));
    json["parameters"] = json!({"binary_data_output": true, "serial": "A", "priority": 3});
    json["id"] = "one".into();
    assert_eq!(wanted(&json), Output::ALL.map(|output| (output, true)));
    json["outputs"] = json!([{"name": "score"}, {"name": "verdict", "parameters": {"binary_data": false}}]);
    assert_eq!(wanted(&json), [(Output::Score, true), (Output::Verdict, false)]);
    let request = read(&(json, binary)).unwrap();
    assert_eq!(request.id.as_deref(), Some("one"));
    let parameters = [
        ("priority".to_owned(), Parameter::Other("\"3\"".to_owned())),
        ("serial".to_owned(), Parameter::Text("A".to_owned())),
    ];
    assert_eq!(request.parameters, parameters);
}

#[test]
fn hostile_tensors_are_refused_by_name() {
    let cases: &[(usize, &str, Value, &str)] = &[
        (0, "name", json!("depth"), "unknown input \"depth\""),
        (0, "name", json!("rgb"), "rgb: expected the datatype UINT8, found \"FP32\""),
        (0, "datatype", json!("FP64"), "xyz: expected the datatype FP32, found \"FP64\""),
        (1, "datatype", json!("FP32"), "rgb: expected the datatype UINT8"),
        (0, "shape", json!([2, 3]), "xyz: expected the shape [rows, columns, 3], found \"[2,3]\""),
        (0, "shape", json!([2, 3, 3, 1]), "xyz: expected the shape"),
        (0, "shape", json!([2, 3, 4]), "xyz: expected the shape"),
        (0, "shape", json!([-2, 3, 3]), "xyz: expected the shape"),
        (0, "shape", json!([2.0, 3, 3]), "xyz: expected the shape"),
        (0, "shape", json!("2x3"), "xyz: expected the shape"),
        (0, "shape", json!([0, 3, 3]), "xyz: expected 1 to 1000 pixels (--max-megapixels), found 0 x 3"),
        (0, "shape", json!([1001, 1, 3]), "xyz: expected 1 to 1000 pixels"),
        (0, "shape", json!([u64::MAX, 2, 3]), "xyz: expected 1 to 1000 pixels"),
        (0, "shape", json!([1u64 << 33, 1u64 << 31, 3]), "xyz: expected 1 to 1000 pixels"),
        (1, "shape", json!([3, 2, 3]), "rgb: expected 2 rows x 3 columns as xyz has, found 3 rows x 2 columns"),
        (0, "data", json!([]), "xyz: expected 18 values"),
        (0, "data", json!(vec![1.5; 17]), "xyz: expected lists of 18, found one of 17"),
        (0, "data", json!(vec![1.5; 19]), "xyz: expected lists of 18, found one of more"),
        (0, "data", json!("many bytes that are no numbers at all"), "xyz: invalid type: string"),
        (0, "data", json!(vec!["1.5"; 18]), "xyz: invalid type: string"),
        (
            0,
            "data",
            json!([[[1.5, 1.5, 1.5]], [[1.5, 1.5, 1.5]], [[1.5, 1.5, 1.5]]]),
            "xyz: expected lists of 3, found one of 1",
        ),
        (1, "data", json!(vec![256; 18]), "rgb: invalid value: integer `256`"),
        (1, "data", json!(vec![1.5; 18]), "rgb: invalid type: floating point"),
        (1, "data", json!(vec![Value::Null; 18]), "rgb: invalid type: null"),
        (1, "data", Value::Null, "rgb: expected data or binary_data_size, found neither"),
        (1, "parameters", json!({"binary_data_size": 18}), "rgb: expected data or binary_data_size, found both"),
        (1, "parameters", json!({"shared_memory_region": "x"}), "rgb: unknown parameter \"shared_memory_region\""),
        (1, "parameters", json!([]), "rgb: parameters: invalid type: sequence, expected an object"),
        (1, "more", json!(1), "unknown field `more`"),
    ];
    for (which, key, value, told) in cases {
        let (mut json, binary) = request(Way::Flat, Way::Flat);
        json["inputs"][which][key] = value.clone();
        refused(&(json, binary), told);
    }
}

#[test]
fn binary_data_is_as_long_as_was_said() {
    let whole = request(Way::Binary, Way::Binary);
    let changed = |which: usize, size: Value| {
        let mut request = whole.clone();
        request.0["inputs"][which]["parameters"]["binary_data_size"] = size;
        request
    };
    refused(&changed(0, json!(71)), "xyz: binary_data_size: expected 72 for the shape [2, 3, 3], found 71");
    refused(&changed(1, json!(u64::MAX)), "rgb: binary_data_size: expected 18");
    refused(&changed(1, json!(-18)), "rgb: binary_data_size: expected a number of bytes, found \"-18\"");
    let with = |binary: &[u8]| (whole.0.clone(), binary.to_vec());
    refused(&with(&whole.1[..80]), "rgb: expected 18 bytes of binary data after the JSON and earlier inputs, found 8");
    refused(&with(&whole.1[..10]), "xyz: expected 72 bytes");
    refused(&with(&[&whole.1[..], &[0]].concat()), "expected no bytes after the inputs' binary data, found 1");
    // Without the header everything is JSON.
    refused(&with(&[]), "xyz: expected 72 bytes of binary data after the JSON and earlier inputs, found 0");

    let body = whole.0.to_string();
    let with_header = |header: &str| decode(body.as_bytes(), Some(header), MAX_PIXELS).unwrap_err().to_string();
    let most = format!("expected at most the body's {} bytes, found {}", body.len(), body.len() + 1);
    assert!(with_header(&(body.len() + 1).to_string()).contains(&most));
    for header in ["", "-1", "1.5", "18446744073709551616", "many"] {
        assert!(
            with_header(header).contains("Inference-Header-Content-Length: expected a number of bytes"),
            "{header}"
        );
    }
    assert!(with_header("5").contains("the request's JSON cannot be read: EOF"), "cut");
    assert!(with_header("0").contains("the request's JSON cannot be read: EOF"), "empty");
}

#[test]
fn hostile_requests_are_refused() {
    let change = |key: &str, value: Value| {
        let (mut json, binary) = request(Way::Flat, Way::Flat);
        json[key] = value;
        (json, binary)
    };
    let whole = request(Way::Flat, Way::Flat);
    let inputs = whole.0["inputs"].as_array().unwrap().clone();
    refused(&change("inputs", json!([])), "xyz: expected among the inputs, found none");
    refused(&change("inputs", json!([inputs[0]])), "rgb: expected among the inputs, found none");
    refused(&change("inputs", json!([inputs[0], inputs[0]])), "xyz: expected once among the inputs, found again");
    refused(&change("inputs", Value::Null), "the request's JSON cannot be read: invalid type: null");
    refused(&change("id", json!(7)), "invalid type: integer `7`, expected a string");
    refused(&change("more", json!(7)), "unknown field `more`");
    refused(&change("outputs", json!([{"name": "heat"}])), "unknown output \"heat\"; expected verdict, score");
    refused(
        &change("outputs", json!([{"name": "score"}, {"name": "score"}])),
        "score: expected once among the outputs",
    );
    let classes = json!([{"name": "score", "parameters": {"classification": 3}}]);
    refused(&change("outputs", classes), "score: unknown parameter \"classification\"; expected binary_data");
    let word = json!([{"name": "score", "parameters": {"binary_data": "yes"}}]);
    refused(&change("outputs", word), "score: binary_data: expected true or false");
    refused(&change("parameters", json!({"binary_data_output": 1})), "binary_data_output: expected true or false");
    let many: serde_json::Map<String, Value> = (0..101).map(|i| (i.to_string(), Value::Null)).collect();
    refused(&change("parameters", many.into()), "parameters: expected at most 100, found more");

    let told = |text: &str| decode(text.as_bytes(), None, MAX_PIXELS).unwrap_err().to_string();
    let text = whole.0.to_string();
    assert!(told(&text.replacen("null", "NaN", 1)).contains("JSON has no NaN: write null"));
    let twice = text.replacen('{', "{\"parameters\":{\"serial\":\"a\",\"serial\":\"b\"},", 1);
    assert!(told(&twice).contains("\"serial\" stands there twice"));
    assert!(told(&format!("{text}x")).contains("trailing characters"));
    // Depth is no way to the end of the stack.
    let deep = "[".repeat(200_000);
    let values = text.find("\"data\":").unwrap() + "\"data\":".len();
    assert!(told(&format!("{}{deep}", &text[..values])).contains("cannot be read"));
    let deep = format!("{deep}{}", "]".repeat(200_000));
    let end = text[values..].find(']').unwrap() + values + 1;
    assert!(told(&format!("{}{deep}{}", &text[..values], &text[end..])).starts_with("xyz: "));
    assert!(decode(b"\xff\xfe", None, MAX_PIXELS).is_err());
}
